"""Request logs, for whoever has one: read any log, say what was read, and bring its models onto a catalogue.

`reading` reads a file or a table into a `RequestLog`; `log_files` opens CSV, JSON lines, parquet and server logs through Arrow, and
`clocks` understands their times; `facts` measures a log; `mapping` says which model of a catalogue each model of the log is;
`sources` lists published traces and downloads them.

To add a format of named columns, add one `LogFormat` to `formats.FORMATS`: the columns that identify it, and which of them holds
the time, the model and the duration. To add a format of text lines, add a `LineFormat` to `access_lines.LINE_FORMATS`: a regular
expression with the groups `time` and, where the lines have them, `model`, `status` and `latency`. Then add a small synthetic file
in that format to tests/logs/test_formats.py.
"""
