//! The machine identity program: join, renew, write outputs, run services.
