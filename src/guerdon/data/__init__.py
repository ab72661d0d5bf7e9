"""Rows in and out: files, layouts, checks, splits, the starter set.

files.py, jsonarray.py, tables.py   a source as raw records, streamed
values.py                           one column as a checked value
layouts.py, exports.py              one record of a known layout as rows
formats.py                          which layout a record has
read.py, write.py                   rows from a source; rows to a file, in Guerdon's own layout
requests.py                         responses to be scored, from rows with or without judgements
split.py, check.py                  train and test by group; faults and figures of a whole source
starter/                            data of our own, so that everything works offline
"""
