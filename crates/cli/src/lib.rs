//! Manners that the tools share: tables, json/yaml, progress, prompts, exit codes, error rendering.
