"""Teachers: frozen networks that answer, one alone or several together."""

from kdcore.teacher.admission import AdmittedTeacher, admit_teachers
from kdcore.teacher.check import TeacherCheck, check_teacher
from kdcore.teacher.ensemble import Ensemble
from kdcore.teacher.frozen import Teacher
from kdcore.teacher.teachers import AnyTeacher, TeacherInput, Teachers, load_teachers

__all__ = [
    "AdmittedTeacher",
    "AnyTeacher",
    "Ensemble",
    "Teacher",
    "TeacherCheck",
    "TeacherInput",
    "Teachers",
    "admit_teachers",
    "check_teacher",
    "load_teachers",
]
