"""Tests of a unit against IEEE 1547.1 and our own procedures: plan, run, judge, report.

    config/procedures/*.yaml --expand--> plan --run--> record --judge--> judgement --> report
                                rig (four ports) ---^

Each arrow is one module; what flows along them is declared in plan.py, record.py and judgement.py and nowhere else.
"""
