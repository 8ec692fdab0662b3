//! The site's program; everything is in [`feedd::cli`].

use std::process::ExitCode;

/// An article's parts are made on a connection's thread and freed on the writer's: glibc's allocator
/// spent a third of an ingest's CPU time on that (`cargo bench --bench server -- --only takethis`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    feedd::cli::feedd()
}
