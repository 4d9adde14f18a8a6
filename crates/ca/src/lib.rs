//! An approved request becomes a signed X.509, SSH or JWT credential; authorities rotate.
