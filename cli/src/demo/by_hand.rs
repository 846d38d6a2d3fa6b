//! How to try the mesh by hand, to be pasted into a shell as it is.

use std::path::Path;

const STEPS: &str = r#"
Try it by hand in bash: two nodes on loopback addresses. Paste this; root is not needed.

cd "$(mktemp -d)" && mkdir site && echo 'hello from orders' > site/index.html
cat > mesh.yaml <<'END'
workloads:
- {uid: demo//Pod/shop/frontend, name: frontend, namespace: shop, serviceAccount: frontend,
   workloadIps: [127.77.1.1], protocol: HBONE, node: node-1}
- {uid: demo//Pod/shop/orders, name: orders, namespace: shop, serviceAccount: orders,
   workloadIps: [127.77.2.1], protocol: HBONE, node: node-2}
policies: []
END
node() { exec CULVERT node --mesh mesh.yaml --ca ./dev-ca "$@"; }
node --workload shop/orders/orders     --forward 127.77.2.1:7001=127.77.1.1:7000 2> node-2.log &
node --workload shop/frontend/frontend --forward 127.77.1.1:7001=127.77.2.1:7000 2> node-1.log &
python3 -m http.server --directory site --bind 127.77.2.1 7000 2> site.log &

# The frontend reaches orders through an HBONE tunnel.
curl --silent --retry 9 --retry-all-errors http://127.77.1.1:7001/
# A policy forbids it; the nodes read the file again by themselves.
sed '$d' mesh.yaml > new.yaml && cat >> new.yaml <<'END'
policies:
- {name: nobody, namespace: shop, scope: Namespace, action: Deny, rules: [[[{destinationIps: [127.77.2.1/32]}]]]}
END
mv new.yaml mesh.yaml
while curl --silent --output /dev/null http://127.77.1.1:7001/; do sleep 0.1; done; grep nobody node-2.log
kill $(jobs -p)

With captured traffic in network namespaces: `culvert redirect --help`, `culvert node --help` (--pod)."#;

/// The steps, for the `culvert` at `executable`.
pub(super) fn text(executable: Option<&Path>) -> String {
    let name = executable.map_or("culvert".into(), |path| path.display().to_string());
    STEPS.replace("CULVERT", &name)
}
