//! Addresses and kinds of the network interfaces, and modules that are asked for by their names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::tap::{Request, ioctl};

/// Every IPv4 and IPv6 address of every interface; empty when the kernel does not answer.
#[must_use]
pub fn addresses() -> Vec<IpAddr> {
    let found = interface_addresses().into_iter();
    found.map(|(_, address)| address).collect()
}

/// The same with the interfaces' names (`getifaddrs(3)`).
#[must_use]
pub fn interface_addresses() -> Vec<(String, IpAddr)> {
    let mut list: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: getifaddrs writes one pointer to the place that we own.
    if unsafe { libc::getifaddrs(&raw mut list) } != 0 {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut next = list;
    while !next.is_null() {
        // SAFETY: not null, and a node of the list that getifaddrs made and nobody frees yet.
        let node = unsafe { next.read() };
        // SAFETY: ifa_addr is null or points to the socket address of this node.
        let address = unsafe { address(node.ifa_addr) };
        // SAFETY: ifa_name is a string of the list, which nobody frees yet.
        let name = unsafe { std::ffi::CStr::from_ptr(node.ifa_name) };
        found.extend(address.map(|address| (name.to_string_lossy().into_owned(), address)));
        next = node.ifa_next;
    }
    // SAFETY: the list came from getifaddrs and is not used after this.
    unsafe { libc::freeifaddrs(list) };
    found
}

/// # Safety
/// `address` is null, or points to a socket address as long as its family says.
unsafe fn address(address: *const libc::sockaddr) -> Option<IpAddr> {
    if address.is_null() {
        return None;
    }
    // SAFETY: not null; every socket address begins with its family.
    let family = unsafe { (*address).sa_family };
    match i32::from(family) {
        libc::AF_INET => {
            // SAFETY: the family says that this is a sockaddr_in; unaligned reads are allowed.
            let v4 = unsafe { address.cast::<libc::sockaddr_in>().read_unaligned() };
            Some(IpAddr::V4(Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr))))
        }
        libc::AF_INET6 => {
            // SAFETY: the family says that this is a sockaddr_in6; unaligned reads are allowed.
            let v6 = unsafe { address.cast::<libc::sockaddr_in6>().read_unaligned() };
            Some(IpAddr::V6(Ipv6Addr::from(v6.sin6_addr.s6_addr)))
        }
        _ => None,
    }
}

/// Asks the kernel for a module by looking for an interface of that name, as `ip link show NAME`
/// does: for want of the interface the kernel loads the module `netdev-NAME`, or, with
/// CAP_SYS_MODULE, NAME itself. That there is no such interface is no error.
///
/// # Errors
/// What `socket(2)` says, or `EINVAL` for a name that no interface can have.
pub fn request_module(name: &str) -> std::io::Result<()> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType};
    if name.is_empty() || name.len() >= libc::IFNAMSIZ {
        return Err(std::io::Error::from_raw_os_error(libc::EINVAL));
    }
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None)?;
    let _ = rustix::net::netdevice::name_to_index(&socket, name);
    Ok(())
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    pub name: String,
    pub bridge: bool,
    pub loopback: bool,
}

/// `ETHTOOL_GDRVINFO` and its structure (linux/ethtool.h).
#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [u8; 32],
    rest: [u8; 160],
}

const SIOCETHTOOL: libc::c_ulong = 0x8946;
const GET_DRIVER_INFO: u32 = 3;

/// The loopback interface is the first of every network namespace.
const LOOPBACK: u32 = 1;

/// Looks at the interface of a number. Not in /sys, which may be that of another network
/// namespace where somebody mounted it.
///
/// # Errors
/// `ENXIO` or `ENODEV` when there is none.
pub fn interface(index: u32) -> std::io::Result<Interface> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType};
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None)?;
    let name = rustix::net::netdevice::index_to_name(&socket, index)?;
    let mut info = DriverInfo {
        command: GET_DRIVER_INFO,
        driver: [0; 32],
        rest: [0; 160],
    };
    let mut request = Request::new(&name, (&raw mut info).cast::<libc::c_void>());
    // SAFETY: the call takes a struct ifreq, which `Request` is no shorter than, with a pointer to
    // a struct ethtool_drvinfo of 196 bytes, which `info` has and which lives long enough.
    let asked = unsafe { ioctl(&socket, SIOCETHTOOL, &mut request) };
    let bridge = match asked {
        Ok(()) => info.driver.starts_with(b"bridge\0"),
        // An interface whose driver has no name: loopback.
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => false,
        Err(error) => return Err(error),
    };
    Ok(Interface {
        name,
        bridge,
        loopback: index == LOOPBACK,
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn loopback_is_an_interface_and_no_bridge() {
        let lo = super::interface(1).unwrap();
        assert_eq!((&*lo.name, lo.loopback, lo.bridge), ("lo", true, false));
        assert!(super::interface(0).is_err() && super::interface(u32::MAX).is_err());
    }

    #[test]
    fn a_module_is_asked_for_by_names_that_an_interface_can_have() {
        assert!(super::request_module("lo").is_ok());
        assert!(super::request_module("dind-no-module").is_ok());
        assert!(super::request_module("a-name-that-is-too-long").is_err());
    }

    #[test]
    fn loopback_is_among_the_addresses() {
        assert!(super::addresses().contains(&std::net::IpAddr::from([127, 0, 0, 1])));
    }
}
