//! Applications behind an agent: who may reach them, and what goes to them and comes back.
