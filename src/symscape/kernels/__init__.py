"""Kernel functions, regression and SVM, teacher-student (chapter 6)."""
