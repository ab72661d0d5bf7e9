"""Rows in and out: files, layouts, checks, splits, the starter set.

data_files.py, json_files.py                   a source as raw records, streamed, each with its place
values.py                                      one column as a checked value
layouts.py, exports.py                         one record of a known layout as rows
formats.py                                     which layout a record has
data_options.py                                how a source is read and divided
read.py, write.py                              rows from a source; rows to a file, in Guerdon's own layout
candidates.py                                  prompts with their responses, from rows with or without judgements
preferences.py                                 what rows prefer
split.py, check.py, convert.py                 train and test by group; statistics of a source; a source to files
starter/                                       data of our own, so that everything works offline
"""
