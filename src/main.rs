//! The site's program; everything is in [`feedd::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    feedd::cli::feedd()
}
