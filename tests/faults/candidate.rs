//! The process that a test starts to be a candidate: this very program, told to run the one test below.

elector_kit::contender!();

#[test]
#[ignore = "the process that the other tests run"]
fn plays_a_candidate() {
    elector_kit::candidate::play::<Contender>();
}
