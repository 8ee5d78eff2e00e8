//! Network devices of this network namespace: loopback, and a tap device that outlives whoever
//! serves it. By ioctl: neither `ip` nor netlink is needed.

use std::io;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

/// Which step of making a device failed.
#[derive(Debug, thiserror::Error)]
#[error("{step}")]
pub struct DeviceError {
    /// The call.
    pub step: &'static str,
    pub source: io::Error,
}

fn failed(step: &'static str) -> impl FnOnce(io::Error) -> DeviceError {
    move |source| DeviceError { step, source }
}

/// `struct ifreq` with one kind of content; the union of the kernel is 24 bytes long.
#[repr(C)]
pub(super) struct Request<T> {
    name: [u8; libc::IFNAMSIZ],
    content: T,
    rest: [u8; 24],
}

impl<T> Request<T> {
    pub(super) fn new(name: &str, content: T) -> Self {
        let mut request = Self {
            name: [0; libc::IFNAMSIZ],
            content,
            rest: [0; 24],
        };
        write_name(&mut request.name, name);
        request
    }
}

/// The last byte stays 0.
fn write_name(place: &mut [u8; libc::IFNAMSIZ], name: &str) {
    for (place, byte) in place.iter_mut().zip(name.bytes()).take(libc::IFNAMSIZ - 1) {
        *place = byte;
    }
}

/// `TUNSETIFF` of linux/if_tun.h, whose type in the C libraries differs.
const TUNSETIFF: u32 = 0x4004_54ca;

/// One ioctl on a structure that the kernel reads, and may write. By number, since the C libraries
/// do not agree about the type of the request.
///
/// # Safety
/// `T` must be at least as large as the structure of `request`, and valid for any bits that the
/// kernel writes to it.
pub(super) unsafe fn ioctl<T>(
    fd: impl AsFd,
    request: libc::c_ulong,
    argument: &mut T,
) -> io::Result<()> {
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: the descriptor is open, and the caller promises that the argument fits.
    match unsafe { libc::syscall(libc::SYS_ioctl, fd, request, std::ptr::from_mut(argument)) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

fn control(family: AddressFamily) -> Result<OwnedFd, DeviceError> {
    rustix::net::socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
        .map_err(|e| failed("socket")(e.into()))
}

/// Makes a tap device that stays when its descriptor is closed.
///
/// # Errors
/// The step and what the kernel said: `ENOENT`, `ENODEV`, `EPERM` of /dev/net/tun have different
/// remedies.
#[expect(clippy::disallowed_methods, reason = "a device of the kernel")]
pub fn make(name: &str) -> Result<(), DeviceError> {
    let tun = rustix::fs::open(
        "/dev/net/tun",
        OFlags::RDWR | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|e| failed("open /dev/net/tun")(e.into()))?;
    let flags = i16::try_from(libc::IFF_TAP | libc::IFF_NO_PI).unwrap_or_default();
    let mut request = Request::new(name, flags);
    // SAFETY: TUNSETIFF takes a struct ifreq, which `Request` is no shorter than.
    unsafe { ioctl(&tun, libc::c_ulong::from(TUNSETIFF), &mut request) }
        .map_err(failed("ioctl TUNSETIFF on /dev/net/tun"))?;
    // The kernel takes this argument by value: any but zero means yes.
    let tun = tun.as_fd().as_raw_fd();
    let on: libc::c_ulong = 1;
    // SAFETY: the descriptor is open and the argument is a number.
    match unsafe { libc::ioctl(tun, libc::TUNSETPERSIST, on) } {
        -1 => Err(failed("ioctl TUNSETPERSIST")(io::Error::last_os_error())),
        _ => Ok(()),
    }
}

/// An IPv4 `sockaddr` as ioctls take it.
fn ipv4(address: Ipv4Addr) -> libc::sockaddr_in {
    // SAFETY: a structure of numbers, for which zero is valid.
    let mut socket: libc::sockaddr_in = unsafe { MaybeUninit::zeroed().assume_init() };
    socket.sin_family = u16::try_from(libc::AF_INET).unwrap_or_default();
    socket.sin_addr.s_addr = u32::from(address).to_be();
    socket
}

/// The same as the plain `sockaddr` of routes.
fn plain(address: Ipv4Addr) -> libc::sockaddr {
    // SAFETY: both are 16 bytes of numbers; every sockaddr_in is a sockaddr.
    unsafe { std::mem::transmute::<libc::sockaddr_in, libc::sockaddr>(ipv4(address)) }
}

/// The IPv4 address of a device and the length of its network; nothing where there is no such
/// device, or none of its addresses is an IPv4 one.
#[must_use]
pub fn ipv4_of(name: &str) -> Option<(Ipv4Addr, u32)> {
    let socket = control(AddressFamily::INET).ok()?;
    let ask = |question: libc::c_ulong| {
        let mut request = Request::new(name, ipv4(Ipv4Addr::UNSPECIFIED));
        // SAFETY: both questions take a struct ifreq, which `Request` is no shorter than, and
        // write a sockaddr_in to it.
        unsafe { ioctl(&socket, question, &mut request) }.ok()?;
        Some(Ipv4Addr::from(u32::from_be(
            request.content.sin_addr.s_addr,
        )))
    };
    let address = ask(libc::SIOCGIFADDR)?;
    let mask = u32::from(ask(libc::SIOCGIFNETMASK)?);
    Some((address, mask.leading_ones()))
}

/// Brings a device up.
///
/// # Errors
/// The step and what the kernel said.
pub fn up(name: &str) -> Result<(), DeviceError> {
    let socket = control(AddressFamily::INET)?;
    let mut request = Request::new(name, 0i16);
    // SAFETY: both calls take a struct ifreq, which `Request` is no shorter than.
    unsafe { ioctl(&socket, libc::SIOCGIFFLAGS, &mut request) }
        .map_err(failed("ioctl SIOCGIFFLAGS"))?;
    request.content |= i16::try_from(libc::IFF_UP).unwrap_or_default();
    // SAFETY: as above.
    unsafe { ioctl(&socket, libc::SIOCSIFFLAGS, &mut request) }
        .map_err(failed("ioctl SIOCSIFFLAGS"))
}

/// Sets MTU, address and network mask, brings the device up, and makes it the default route.
///
/// # Errors
/// The step and what the kernel said.
pub fn configure(
    name: &str,
    mtu: u32,
    address: Ipv4Addr,
    mask: Ipv4Addr,
    gateway: Ipv4Addr,
) -> Result<(), DeviceError> {
    let socket = control(AddressFamily::INET)?;
    let mtu = i32::try_from(mtu).unwrap_or(i32::MAX);
    // SAFETY: SIOCSIFMTU takes a struct ifreq, which `Request` is no shorter than.
    unsafe { ioctl(&socket, libc::SIOCSIFMTU, &mut Request::new(name, mtu)) }
        .map_err(failed("ioctl SIOCSIFMTU"))?;
    // SAFETY: as above, with an address.
    unsafe {
        ioctl(
            &socket,
            libc::SIOCSIFADDR,
            &mut Request::new(name, ipv4(address)),
        )
    }
    .map_err(failed("ioctl SIOCSIFADDR"))?;
    let mask = ipv4(mask);
    // SAFETY: as above, with a mask.
    unsafe { ioctl(&socket, libc::SIOCSIFNETMASK, &mut Request::new(name, mask)) }
        .map_err(failed("ioctl SIOCSIFNETMASK"))?;
    up(name)?;
    add_route(
        &socket,
        (Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED),
        Way::Gateway(gateway, 0),
    )
}

/// Makes a route by the gateway to a network, and beside it one that says that the network is on
/// this link. The second is never taken, since its metric is larger: it is what others look for
/// who keep clear of networks on links. A device with an address in exactly this network still
/// wins, since its route has no metric; one in a larger network does not.
///
/// # Errors
/// The step and what the kernel said.
pub fn lead(
    name: &str,
    network: Ipv4Addr,
    mask: Ipv4Addr,
    gateway: Ipv4Addr,
) -> Result<(), DeviceError> {
    const METRIC: i16 = 10_000;
    let socket = control(AddressFamily::INET)?;
    let network = (network, mask);
    add_route(&socket, network, Way::Gateway(gateway, METRIC))?;
    add_route(&socket, network, Way::Link(name, METRIC + 1))
}

/// Where a route leads, with its metric.
enum Way<'a> {
    Gateway(Ipv4Addr, i16),
    Link(&'a str, i16),
}

/// `to` is a network and its mask.
fn add_route(socket: &OwnedFd, to: (Ipv4Addr, Ipv4Addr), way: Way<'_>) -> Result<(), DeviceError> {
    let (network, mask) = to;
    // SAFETY: a structure of numbers and one pointer, for which zero is valid.
    let mut route: libc::rtentry = unsafe { MaybeUninit::zeroed().assume_init() };
    route.rt_dst = plain(network);
    route.rt_genmask = plain(mask);
    route.rt_flags = libc::RTF_UP;
    let mut device = [0; libc::IFNAMSIZ];
    let metric = match way {
        Way::Gateway(gateway, metric) => {
            route.rt_gateway = plain(gateway);
            route.rt_flags |= libc::RTF_GATEWAY;
            metric
        }
        Way::Link(name, metric) => {
            write_name(&mut device, name);
            route.rt_dev = device.as_mut_ptr().cast();
            metric
        }
    };
    // The kernel takes one off: 0 means that none was given.
    route.rt_metric = metric + 1;
    // SAFETY: SIOCADDRT takes a struct rtentry; its device pointer is null, which means any, or
    // that of a NUL-terminated name that lives until the call is over.
    unsafe { ioctl(socket, libc::SIOCADDRT, &mut route) }.map_err(failed("ioctl SIOCADDRT"))
}

/// `struct in6_ifreq` of linux/ipv6.h.
#[repr(C)]
struct Request6 {
    address: [u8; 16],
    length: u32,
    index: i32,
}

/// `struct in6_rtmsg` of linux/ipv6_route.h.
#[repr(C)]
#[derive(Default)]
struct Route6 {
    destination: [u8; 16],
    source: [u8; 16],
    gateway: [u8; 16],
    kind: u32,
    destination_length: u16,
    source_length: u16,
    metric: u32,
    info: libc::c_ulong,
    flags: u32,
    index: i32,
}

/// Adds an IPv6 address and makes the device the default route for IPv6.
///
/// # Errors
/// The step and what the kernel said.
pub fn configure6(
    name: &str,
    address: Ipv6Addr,
    length: u32,
    gateway: Ipv6Addr,
) -> Result<(), DeviceError> {
    let socket = control(AddressFamily::INET6)?;
    let index = rustix::net::netdevice::name_to_index(&socket, name)
        .map_err(|e| failed("ioctl SIOCGIFINDEX")(e.into()))?;
    let index = i32::try_from(index).unwrap_or_default();
    let mut request = Request6 {
        address: address.octets(),
        length,
        index,
    };
    // SAFETY: for an IPv6 socket the call takes a struct in6_ifreq.
    unsafe { ioctl(&socket, libc::SIOCSIFADDR, &mut request) }
        .map_err(failed("ioctl SIOCSIFADDR for IPv6"))?;
    let mut route = Route6 {
        gateway: gateway.octets(),
        metric: 1,
        flags: u32::from(libc::RTF_UP | libc::RTF_GATEWAY),
        index,
        ..Route6::default()
    };
    // SAFETY: for an IPv6 socket the call takes a struct in6_rtmsg.
    unsafe { ioctl(&socket, libc::SIOCADDRT, &mut route) }
        .map_err(failed("ioctl SIOCADDRT for IPv6"))
}
