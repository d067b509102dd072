//! Rules of this crate that a compiler does not know.

use std::path::Path;

#[test]
fn every_handler_takes_the_caller() {
    let mut handlers = 0;
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for handler in text.split("#[utoipa::path(").skip(1) {
                let signature = handler.split_once("pub(crate) async fn ").unwrap().1;
                let parameters = signature.split_once(") -> ").unwrap().0;
                assert!(
                    parameters.contains("caller: Caller"),
                    "{}: {parameters}",
                    path.display()
                );
                handlers += 1;
            }
        }
    }
    assert!(handlers >= 20, "{handlers}");
}
