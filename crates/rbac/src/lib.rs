//! identity x action x resource -> allow or deny, with the reason; a pure function.
