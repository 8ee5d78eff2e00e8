//! What a socket does not take at all, decided by the kernel as it comes (classic BPF,
//! `SO_ATTACH_FILTER` of `socket(7)`): it costs whoever sends it, and no room in the queue.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd};

/// More are not named in one filter: a jump leads 255 instructions ahead.
pub const MOST: usize = 64;

/// From where the bytes of the network header are counted, and where the kernel's own knowledge of
/// a packet is (linux/filter.h); both are negative.
const NETWORK: u32 = 0xfff0_0000;
const KNOWLEDGE: u32 = 0xffff_f000;
/// The number of the interface there.
const INTERFACE: u32 = KNOWLEDGE + 8;
/// The source address in an IPv4 header.
const SOURCE: u32 = NETWORK + 12;

const LOAD_WORD: u16 = 0x20;
const JUMP_IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

fn instruction(code: u16, jump: usize, value: u32) -> libc::sock_filter {
    libc::sock_filter {
        code,
        jt: u8::try_from(jump).unwrap_or(u8::MAX),
        jf: 0,
        k: value,
    }
}

/// Takes nothing from some IPv4 addresses and over some interfaces, of each [`MOST`] at most, in
/// place of what was refused before.
///
/// # Errors
/// What `setsockopt(2)` says.
pub fn refuse(socket: impl AsFd, from: &[Ipv4Addr], over: &[u32]) -> io::Result<()> {
    let (from, over) = (from.iter().take(MOST), over.iter().take(MOST));
    // Instructions between the present one and the last, which refuses: the jump of a test that is
    // true.
    let mut left = over.len() + from.len() + 3;
    let mut program = Vec::new();
    let mut add = |code, value| {
        left -= 1;
        let jump = if code == JUMP_IF_EQUAL { left } else { 0 };
        program.push(instruction(code, jump, value));
    };
    add(LOAD_WORD, INTERFACE);
    over.for_each(|index| add(JUMP_IF_EQUAL, *index));
    add(LOAD_WORD, SOURCE);
    from.for_each(|address| add(JUMP_IF_EQUAL, u32::from(*address)));
    program.push(instruction(RETURN, 0, u32::MAX));
    program.push(instruction(RETURN, 0, 0));
    let whole = libc::sock_fprog {
        len: u16::try_from(program.len()).unwrap_or_default(),
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the option's value is a sock_fprog, whose address and size are passed; it points to
    // as many instructions as it says, which the kernel copies and checks.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const whole).cast(),
            libc::socklen_t::try_from(size_of::<libc::sock_fprog>()).unwrap_or_default(),
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    fn address(host: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, 98, 0, host)
    }

    /// Those of seven clients that are heard.
    fn heard(from: &[Ipv4Addr], over: &[u32]) -> Vec<u8> {
        let server = UdpSocket::bind((address(100), 0)).unwrap();
        refuse(&server, from, over).unwrap();
        for host in 1..8 {
            let client = UdpSocket::bind((address(host), 0)).unwrap();
            client
                .send_to(&[host], server.local_addr().unwrap())
                .unwrap();
        }
        server.set_nonblocking(true).unwrap();
        let mut buffer = [0; 8];
        std::iter::from_fn(|| server.recv(&mut buffer).ok().map(|_| buffer[0])).collect()
    }

    #[test]
    fn exactly_what_is_refused_is_not_heard() {
        assert_eq!(heard(&[], &[]), [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(heard(&[2, 3, 7].map(address), &[]), [1, 4, 5, 6]);
        assert_eq!(heard(&[1].map(address), &[77, 78]), [2, 3, 4, 5, 6, 7]);
        assert!(heard(&[], &[77, 1]).is_empty(), "they come over loopback");
        let many: Vec<Ipv4Addr> = (0..=255).rev().map(address).collect();
        let others: Vec<u32> = (1000..2000).collect();
        assert_eq!(heard(&many, &others), [1, 2, 3, 4, 5, 6, 7], "64 at most");
        assert!(heard(&many[192..], &others).is_empty(), "the last 64");
    }

    #[test]
    fn a_filter_is_replaced() {
        let server = UdpSocket::bind((address(101), 0)).unwrap();
        refuse(&server, &[address(9)], &[]).unwrap();
        refuse(&server, &[], &[]).unwrap();
        let client = UdpSocket::bind((address(9), 0)).unwrap();
        client.send_to(b"x", server.local_addr().unwrap()).unwrap();
        assert_eq!(server.recv(&mut [0; 8]).unwrap(), 1);
    }
}
