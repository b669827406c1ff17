"""Mutation testing of the compiled step: is every line of arithmetic watched by a test?

    python -m tests.mutants                       200 mutants, seed 1: minutes
    python -m tests.mutants --list --match limits the numbers and texts of the mutants of one file, nothing is run
    python -m tests.mutants --only 17 340         these two
    python -m tests.mutants --all --json out.json everything, an hour or so

How      source.py   logical lines of the functions a step calls: `cdef ... noexcept nogil`, realtime/ excepted
         rules.py    one small error in one of them (comparison, sign, constant, min/max, index, logic, dropped)
         weave.py    all errors side by side in one text, each behind `MUTANT == n`
         build.py    a copy of the tree below build/mutants, compiled there with the flags of setup.py
         worker.py   pytest collects once; a forked child per mutant sets n and runs until the first test fails
         report.py   tables, survivors, the verdict
Suite    tests/cython_core/test_*.py without what is not the step (build.NOT_STEP), without nightly and system.
Output   killed (a test failed, a crash, or the CPU limit for an endless loop) or survived. survivors.yaml lists every
         known survivor with the reason why it cannot change an output; its key is the text, not a line or a number.
Exit     0: at least 95 % of the sample killed and every survivor explained. 1: not so. 2: it could not be run, e.g.
         the unmutated build does not pass its own tests.
"""
