"""The kinds of questions, a module each: what is asked, what a form's answer says, and the rows that answers make.

The template of the same name in `templates/kinds` draws the form.
"""
