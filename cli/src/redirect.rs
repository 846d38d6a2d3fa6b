//! `culvert redirect`: the rules of one network namespace.

use culvert_linux::netns::Netns;
use culvert_linux::redirect::{RedirectConfig, RedirectError, apply_in, remove_in, show_in};

use crate::args::{RedirectArgs, RedirectCommand};
use crate::failure::Failure;

/// Applies, removes or shows the redirect.
pub(crate) fn run(command: &RedirectCommand) -> Result<(), Failure> {
    match command {
        RedirectCommand::Apply(args) => apply_in(&netns(args)?, &RedirectConfig::default()).map_err(failure),
        RedirectCommand::Remove(args) => remove_in(&netns(args)?).map_err(failure),
        RedirectCommand::Show(args) => {
            println!("{}", show_in(&netns(args)?).map_err(failure)?.to_string().trim_end());
            Ok(())
        }
    }
}

fn netns(args: &RedirectArgs) -> Result<Netns, Failure> {
    match &args.netns {
        None => Netns::current().map_err(|error| Failure::from_error(&error)),
        Some(path) => Netns::open(path)
            .map_err(|error| {
                Failure::new(format!("cannot open the network namespace {}: {error}", path.display()))
            })
            .map_err(|failure| {
                failure.hint("`ip netns` keeps its namespaces in /run/netns; a process has /proc/PID/ns/net")
            }),
    }
}

fn failure(error: RedirectError) -> Failure {
    Failure::from_error(&error).hint("the redirect needs CAP_NET_ADMIN in the namespace: try as root")
}
