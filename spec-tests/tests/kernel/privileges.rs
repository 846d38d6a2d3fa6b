//! Where a test may make network namespaces: here as root, else in a child inside a user namespace.

use culvert_linux::netns::Netns;
use culvert_linux::user_namespace;

const INSIDE: &str = "CULVERT_TEST_INSIDE";

/// Runs `body`, here or in a child that runs only the test `name`. Where neither is permitted it says so and passes, unless
/// `CI=true`.
pub fn with_namespaces(name: &str, body: impl FnOnce()) {
    let Err(refused) = Netns::create() else { return body() };
    assert!(std::env::var_os(INSIDE).is_none(), "no namespace inside a user namespace: {refused}");
    let mut child = user_namespace::reexec(["--exact", name, "--nocapture"]);
    match child.env(INSIDE, "1").output() {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let errors = String::from_utf8_lossy(&output.stderr);
            // One that found no test of that name would succeed, too.
            assert!(output.status.success() && text.contains("1 passed"), "{text}\n{errors}");
        }
        Err(refused) => {
            assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "no user namespaces: {refused}");
            println!("skipped {name}: neither root nor user namespaces: {refused}");
        }
    }
}
