//! The small expression language of roles and rules, and templates: lexer, parser, type check, evaluation.
