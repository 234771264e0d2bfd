//! The Restore view in a real terminal, fed by an API server.

use crate::kubernetes::Kubernetes;
use crate::terminal::Terminal;
use serde_json::json;

#[test]
fn the_restore_view_follows_the_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let mut api = Kubernetes::start();
    let kubeconfig = api.kubeconfig(folder.path());
    let config = format!(
        "[incident]\nid = \"night\"\nrestored_to = \"2026-11-22T14:05:00Z\"\n[cluster]\nnamespace = \"om\"\nkubeconfig = \"{}\"\n",
        kubeconfig.display()
    );
    std::fs::write(folder.path().join("restitch.toml"), config).unwrap();
    api.deployment("web", &json!({"app": "web"}), 2, 2);
    api.pod("web-1", &json!({"app": "web"}));
    api.pod("web-2", &json!({"app": "web"}));
    let mut terminal = Terminal::restitch(&["console"], folder.path(), (120, 30));
    terminal.shows("no case yet");
    terminal.keys("1");
    terminal.shows("2 running");
    api.deployment("web", &json!({"app": "web"}), 0, 0);
    api.no_pod("web-1");
    api.no_pod("web-2");
    terminal.shows("0 of 2 running");
    // One comes up: an alarm on every view.
    api.pod("web-7", &json!({"app": "web"}));
    terminal.shows("web-7 (since 14:40:02Z) is up during the restore");
    terminal.keys("2");
    terminal.shows("web-7 (since 14:40:02Z) is up during the restore");
    api.no_pod("web-7");
    terminal.keys("1");
    terminal.shows("0 of 2 running; some were up from");
    // A server that is gone shows as such, with an age, and comes back by itself.
    api.down();
    terminal.shows("cluster LOST");
    api.up();
    terminal.shows("cluster 1s");
    // The lead says go.
    terminal.keys("jjjja");
    terminal.in_dialog("done says go: workers may start", "1y");
    terminal.shows("by hand, ");
    api.deployment("web", &json!({"app": "web"}), 1, 1);
    api.pod("web-8", &json!({"app": "web"}));
    terminal.shows("1 of 1 deployments ready");
    terminal.keys("q");
}
