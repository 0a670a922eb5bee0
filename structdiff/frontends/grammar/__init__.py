"""Context-free grammars: Lark, GBNF and EBNF, with loops where they are regular and recursion to a depth.

source.py    `Lark`, `GBNF`, and the front ends that read them
gbnf.py      the reader of GBNF and EBNF      lark_rules.py  Lark's own reader, asked for rules and terminals
loops.py     left and right recursion written as loops
lexing.py    the texts that Lark's lexers cut into the tokens that are meant
"""
