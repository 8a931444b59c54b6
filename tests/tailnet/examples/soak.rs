//! Toggles UDP at random times and asserts that telltail sees each toggle that lasts exactly once.
//!
//!     cargo build --bin telltail && cargo run -p telltail-tailnet --example soak -- 600 [SEED]

#![expect(clippy::print_stdout, reason = "that is what it is for")]

use std::time::{Duration, SystemTime};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let number = |n| std::env::args().nth(n).map(|text| text.parse().expect("a number"));
    let clock = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let seed = number(2).unwrap_or_else(clock);
    println!("seed {seed}");
    telltail_tailnet::soak::run(Duration::from_secs(number(1).unwrap_or(600)), seed).await;
}
