//! telltail
