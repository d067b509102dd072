//! The cable between a test and RabbitMQ, to be cut.

use std::sync::{Arc, Mutex};

use taskmaster_broker::BrokerConfig;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::fleet::url;

/// Forwards to the RabbitMQ under test.
pub(crate) struct Wire {
    port: u16,
    cut: Arc<Mutex<CancellationToken>>,
    _accepting: JoinSet<()>,
}

impl Wire {
    pub(crate) async fn new() -> Self {
        let target = BrokerConfig::new(url(), "test").unwrap().redacted();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let cut = Arc::new(Mutex::new(CancellationToken::new()));
        let current = cut.clone();
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let cut = current.lock().unwrap().clone();
                let target = target.clone();
                tokio::spawn(cut.run_until_cancelled_owned(async move {
                    let mut far = TcpStream::connect(target).await.unwrap();
                    copy_bidirectional(&mut near, &mut far).await.ok();
                }));
            }
        });
        Self {
            port,
            cut,
            _accepting: accepting,
        }
    }

    /// The same configuration by way of this wire.
    pub(crate) fn through(&self, config: &BrokerConfig) -> BrokerConfig {
        let url = url();
        let (credentials, rest) = url.rsplit_once('@').expect("a URL with user and password");
        let path = rest.find('/').map_or("", |slash| &rest[slash..]);
        let url = format!("{credentials}@127.0.0.1:{}{path}", self.port);
        BrokerConfig::new(url, &config.prefix).unwrap()
    }

    /// Ends every connection; new ones work.
    pub(crate) fn cut(&self) {
        let before = std::mem::take(&mut *self.cut.lock().unwrap());
        before.cancel();
    }
}
