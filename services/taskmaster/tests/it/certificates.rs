//! Certificates of an authority that nobody knows but the test, made by openssl.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use tokio::process::Command;

/// Where they are. The server's is for `localhost` and for no address.
pub(crate) struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    /// Makes them in `folder`.
    pub(crate) async fn make(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc";
        for arguments in [
            format!("req -x509 {key} -days 2 -subj /CN=ours -keyout ca.key -out ca.crt"),
            format!(
                "req {key} -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout server.key -out server.csr"
            ),
            "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -copy_extensions copy \
             -out server.crt"
                .to_owned(),
        ] {
            let mut openssl = Command::new("openssl");
            openssl.args(arguments.split(' ')).current_dir(folder);
            let output = openssl.output().await?;
            ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// The authority's certificate.
    pub(crate) fn authority(&self) -> String {
        self.file("ca.crt")
    }

    /// The server's.
    pub(crate) fn certificate(&self) -> String {
        self.file("server.crt")
    }

    /// The server's key.
    pub(crate) fn key(&self) -> String {
        self.file("server.key")
    }
}
