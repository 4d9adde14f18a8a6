//! The only source of time and of sleeping; a manual clock tells a test when everything is parked.
