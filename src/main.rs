//! `restitch`: arguments, configuration, command, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    // A core file would hold passwords and people's orders. Where the limit cannot be set, it is no worse than before.
    let none = rustix::process::Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
    // What panics say may quote data: it goes through the same door as every other message.
    std::panic::set_hook(Box::new(|panic| {
        restitch::cli::complain(&format!("restitch has a defect and stops: {panic}"));
    }));
    // The first provider installed is the one that rustls uses; a second call would only say so.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    ExitCode::from(restitch::cli::run(std::env::args_os()))
}
