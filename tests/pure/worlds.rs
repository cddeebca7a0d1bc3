//! The digests of simulated Raft worlds: natively a program that prints those of the seeds below a number, in
//! WebAssembly a function.

use elector::testing::raft::World;

/// The digest of the world of this seed, in which no promise is broken.
#[unsafe(no_mangle)]
pub extern "C" fn digest(seed: u64) -> u64 {
    let mut world = World::new(seed);
    if let Err(violation) = world.run() {
        panic!("{violation}");
    }
    world.digest()
}

#[cfg(not(target_family = "wasm"))]
fn main() {
    let seeds = std::env::args().nth(1).and_then(|seeds| seeds.parse().ok()).expect("a number of seeds");
    for seed in 0..seeds {
        println!("{}", digest(seed));
    }
}
