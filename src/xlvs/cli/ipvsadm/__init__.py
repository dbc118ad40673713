# SPDX-License-Identifier: Apache-2.0
"""``ipvsadm``, ``ipvsadm-save``, ``ipvsadm-restore``: arguments, texts and exit statuses of 1.31.

A command line walks: ``options`` (words to options) → ``arguments`` (options to a
``Request``) → ``rules`` (what goes together) → ``edits`` or ``listing``. What outside
programs read, standard output and error and the exit status, is the real one's byte
for byte; ``docs/adr/0003-fullnat-options.md`` says what is added.
"""
