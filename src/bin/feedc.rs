//! The newsreader's program; everything is in [`feedd::cli::feedc`].

use std::process::ExitCode;

fn main() -> ExitCode {
    feedd::cli::feedc::feedc()
}
