//! A way to the server on which answers get lost.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::runtime::Tasks;

/// Listens, and passes everything on to the server; of its answers one in `loses` is thrown away, and the connection
/// with it.
pub(super) async fn start(server: String, loses: u32, tasks: &Tasks) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let group = tasks.clone();
    tasks.spawn("proxy", async move {
        loop {
            let client = tokio::select! {
                () = group.token().cancelled() => return,
                accepted = listener.accept() => accepted.unwrap().0,
            };
            let (server, token) = (server.clone(), group.token().clone());
            group.spawn("proxied connection", async move {
                tokio::select! {
                    () = token.cancelled() => {}
                    _ended = pass_on(client, &server, loses) => {}
                }
            });
        }
    });
    address
}

async fn pass_on(mut client: TcpStream, server: &str, loses: u32) -> std::io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    let (mut question, mut answer) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        tokio::select! {
            read = client.read(&mut question) => match read? {
                0 => return Ok(()),
                read => server.write_all(&question[..read]).await?,
            },
            read = server.read(&mut answer) => match read? {
                0 => return Ok(()),
                _ if rand::random_range(0..loses) == 0 => return Ok(()),
                read => client.write_all(&answer[..read]).await?,
            },
        }
    }
}
