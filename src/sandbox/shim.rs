//! The door of the sandbox's network: a listener that is made inside and served from outside.
//!
//! A child of ours enters the namespaces, listens on their loopback, and hands the listener back
//! over a socket; it ends then. So no socket's file has to be shown to the commands, no process of
//! ours runs among them, and whoever connects comes from inside.
//!
//! Invariant: what is handed over is one listener on the loopback of those namespaces.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::process::Cmd;

/// Lets `child` make the listener: it is to call [`hand_over`] once it is inside.
///
/// # Errors
/// It cannot be started, or did not listen; the error is its complaint.
pub(super) fn listener_of(child: &Cmd) -> io::Result<TcpListener> {
    let (ours, theirs) = UnixStream::pair()?;
    let done = child.run_on(theirs.into()).map_err(|error| error.source)?;
    if done.exit != 0 {
        let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
        return Err(io::Error::other(said));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut received = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(&ours, &mut [IoSliceMut::new(&mut byte)], &mut received, RecvFlags::CMSG_CLOEXEC)?;
    let rights = received.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut rights) => rights.next(),
        _ => None,
    });
    let listener: OwnedFd = rights.ok_or_else(|| io::Error::other("no listener came"))?;
    Ok(listener.into())
}

/// Listens on the loopback of this process's network, and hands the listener to whoever is behind
/// the standard input.
///
/// # Errors
/// There is no such network, or nobody is there.
pub(super) fn hand_over() -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut sent = SendAncillaryBuffer::new(&mut space);
    let rights = [listener.as_fd()];
    if !sent.push(SendAncillaryMessage::ScmRights(&rights)) {
        return Err(io::Error::other("no room for a listener"));
    }
    sendmsg(rustix::stdio::stdin(), &[IoSlice::new(&[0])], &mut sent, SendFlags::empty())?;
    Ok(())
}
