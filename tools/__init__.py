"""The commands of the house: running the course, keeping the notebooks in form, moving the repository."""
