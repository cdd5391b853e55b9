/* LD_PRELOAD for Debian's jami-daemon 13.7.0 in interop tests.
 *
 * That build enumerates interfaces over netlink and expects the end marker of a dump (NLMSG_DONE) to open a datagram of its own.
 * Kernels from 6.9 on append the marker to the last datagram with data, which it overlooks: it then blocks in recv() for ever and
 * no ICE session of it gets anywhere. Here a marker found behind other messages is cut off and returned by the next recv(). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

#define SLOTS 16

struct marker {
  int fd; /* 0: the slot is free */
  size_t size;
  unsigned char data[NLMSG_SPACE(sizeof(int)) + 32];
};

static struct marker markers[SLOTS];
static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;

static ssize_t real_recv(int fd, void *buffer, size_t size, int flags) {
  static ssize_t (*function)(int, void *, size_t, int);
  if (function == NULL) function = (ssize_t (*)(int, void *, size_t, int))dlsym(RTLD_NEXT, "recv");
  return function(fd, buffer, size, flags);
}

static int speaks_netlink(int fd) {
  int family = -1, kept = errno;
  socklen_t length = sizeof family;
  int found = getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &length) == 0 && family == AF_NETLINK;
  errno = kept;
  return found;
}

static ssize_t take_marker(int fd, void *buffer, size_t size) {
  ssize_t taken = -1;
  pthread_mutex_lock(&guard);
  for (struct marker *m = markers; m < markers + SLOTS && taken < 0; m++)
    if (m->fd == fd && m->size <= size) {
      memcpy(buffer, m->data, m->size);
      taken = (ssize_t)m->size;
      m->fd = 0;
    }
  pthread_mutex_unlock(&guard);
  return taken;
}

static int put_marker(int fd, const void *data, size_t size) {
  int stored = 0;
  pthread_mutex_lock(&guard);
  for (struct marker *m = markers; m < markers + SLOTS && !stored; m++)
    if (m->fd == 0 && size <= sizeof m->data) {
      m->fd = fd;
      m->size = size;
      memcpy(m->data, data, size);
      stored = 1;
    }
  pthread_mutex_unlock(&guard);
  return stored;
}

ssize_t recv(int fd, void *buffer, size_t size, int flags) {
  if (!speaks_netlink(fd)) return real_recv(fd, buffer, size, flags);
  ssize_t got = take_marker(fd, buffer, size);
  if (got >= 0) return got;

  got = real_recv(fd, buffer, size, flags);
  size_t left = got > 0 ? (size_t)got : 0;
  for (unsigned char *at = buffer; left >= sizeof(struct nlmsghdr);) {
    const struct nlmsghdr *message = (const struct nlmsghdr *)at;
    size_t step = NLMSG_ALIGN(message->nlmsg_len);
    if (message->nlmsg_type == NLMSG_DONE && at != buffer && put_marker(fd, at, left)) return got - (ssize_t)left;
    if (message->nlmsg_len < sizeof *message || step > left) break;
    at += step;
    left -= step;
  }
  return got;
}
