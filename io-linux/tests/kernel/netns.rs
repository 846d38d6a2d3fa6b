//! Entering, leaving and comparing namespaces.

use std::net::TcpListener;

use culvert_linux::netns::Netns;

use crate::sandbox::isolated;

isolated!(a_new_namespace_is_another_one_and_work_runs_inside_it, || {
    let here = Netns::current().unwrap().identity().unwrap();
    let other = Netns::create().unwrap();
    assert_ne!(other.identity().unwrap(), here);
    let seen = other.run(|| Netns::current().unwrap().identity().unwrap()).unwrap();
    assert_eq!(seen, other.identity().unwrap());
    assert_eq!(Netns::current().unwrap().identity().unwrap(), here);
});

isolated!(a_scoped_visit_makes_the_socket_there_and_ends_here, || {
    let here = Netns::current().unwrap().identity().unwrap();
    let other = Netns::create().unwrap();
    let visit = other.enter_scoped().unwrap();
    let listener = TcpListener::bind("0.0.0.0:4001").unwrap();
    drop(visit);
    assert_eq!(Netns::current().unwrap().identity().unwrap(), here);
    // The port is taken there, not here.
    TcpListener::bind("0.0.0.0:4001").unwrap();
    assert!(other.run(|| TcpListener::bind("0.0.0.0:4001")).unwrap().is_err());
    drop(listener);
});

isolated!(visits_nest, || {
    let here = Netns::current().unwrap().identity().unwrap();
    let (first, second) = (Netns::create().unwrap(), Netns::create().unwrap());
    let outer = first.enter_scoped().unwrap();
    let inner = second.enter_scoped().unwrap();
    drop(inner);
    assert_eq!(Netns::current().unwrap().identity().unwrap(), first.identity().unwrap());
    drop(outer);
    assert_eq!(Netns::current().unwrap().identity().unwrap(), here);
});

isolated!(a_panic_inside_reaches_the_caller, || {
    let other = Netns::create().unwrap();
    let caught = std::panic::catch_unwind(|| other.run(|| panic!("inside")));
    assert_eq!(caught.unwrap_err().downcast_ref::<&str>(), Some(&"inside"));
});
