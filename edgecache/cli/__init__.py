"""The command line, for whoever would rather type than program: `edgecache` or `python -m edgecache`.

`main` holds the commands and turns every failure into one sentence; `measuring` holds the commands that measure real networks,
`serving` those for operators; `options` are options that several commands share; `output` formats tables; `reproduce` runs the
notebooks.

To add a command, write a function in `main`, decorate it with `@cli.command` and `@click.option`, and give it a docstring in plain
English. Import what it needs inside the function: `edgecache --help` must not wait for NumPy. For bad input raise `InputError`
with one sentence that names the value and what is allowed. Print through `output.show`, which keeps control characters of a
user's file from the terminal. Where the command keeps finished work when it is interrupted, add its name to `main.KEEPS_WORK`.
"""
