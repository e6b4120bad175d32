"""Convolutions, with a way around a kernel of oneDNN that ruins the heap.

oneDNN 3.12 (in torch 2.13 and 2.14) takes the weight gradient of some strided 1x1 convolutions
with a kernel that writes past its workspace: https://github.com/uxlfoundation/oneDNN/issues/6035.
The process dies of it, now or later; with two threads or more it may live and learn from wrong
gradients. It takes all of: a CPU, float32, kernel 1, no padding, groups 1, a stride above 1 that
divides height and width, images or weights channels last, and fewer input channels than the
kernel's block, which is 8 on AVX2 and, by that report, 16 on AVX-512. Each condition was tried on
AVX2 with a page that must not be touched behind every buffer: 1 to 7 channels fail; 8 and more,
grouped and depthwise ones, padding, kernels 2, 3 and 5, bfloat16, float16 and float64 do not, nor
do outputs and gradients by the images.

B batch, C channels, H height, W width.
"""

import torch
import torch.nn.functional as F
from torch import nn

SAFE_CHANNELS = 16
"""From so many input channels on, oneDNN's kernel stays inside its workspace on every CPU."""


def make_convolution(
    entering: int, leaving: int, kernel_size: int, *, stride: int, padding: int, bias: bool
) -> nn.Conv2d:
    """Make the convolution of these numbers that is safe to train; the same weights either way."""
    is_unsafe = kernel_size == 1 and stride > 1 and padding == 0 and entering < SAFE_CHANNELS
    kind = SubsampledPointwiseConv2d if is_unsafe else nn.Conv2d
    return kind(entering, leaving, kernel_size, stride=stride, padding=padding, bias=bias)


class SubsampledPointwiseConv2d(nn.Conv2d):
    """A 1x1 convolution without padding that drops the pixels it steps over before it starts.

    The numbers, names and operations are those of the `nn.Conv2d` it stands for, and what is
    left to convolve has stride 1.
    """

    def forward(self, maps_BCHW: torch.Tensor) -> torch.Tensor:
        """Take maps_BCHW, give maps_BCHW of `ceil(H / stride)` x `ceil(W / stride)`."""
        # A mean over single pixels is a copy of them, and faster both ways than slicing.
        kept_BCHW = F.avg_pool2d(maps_BCHW, 1, self.stride)
        return F.conv2d(kept_BCHW, self.weight, self.bias)
