"""Teachers: frozen networks that answer, one alone or several together."""

from kdcore.teacher.ensemble import Ensemble
from kdcore.teacher.frozen import Teacher
from kdcore.teacher.teachers import AnyTeacher, TeacherInput, Teachers, load_teachers

__all__ = [
    "AnyTeacher",
    "Ensemble",
    "Teacher",
    "TeacherInput",
    "Teachers",
    "load_teachers",
]
