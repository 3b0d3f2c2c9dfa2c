/* wire FIRST SECOND DELAY_US RATE_MBIT: join two network namespaces by a wire with a delay and a rate.

   Each gets a TUN device `wire`. What is sent into one comes out of the other after the packets before it, its own bytes
   at the rate, and the delay. Prints `up`, then carries packets until it is killed. Real-time priority keeps the times
   exact while the hosts compute; without the right to it, it goes on. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { PACKETS = 8192, MOST_BYTES = 9100, FRAME_BYTES = 38, AT_ONCE = 16 };

struct packet {
  int64_t due_ns;
  ssize_t length;
  char bytes[MOST_BYTES];
};

struct way { /* the packets that are on their way into one device, in order; numbers count up for ever */
  struct packet *packets;
  int64_t first, next, free_ns;
};

static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void check(int result, const char *what) {
  if (result < 0) {
    perror(what);
    exit(1);
  }
}

static int device(const char *namespace) {
  char path[256];
  snprintf(path, sizeof path, "/var/run/netns/%s", namespace);
  int file = open(path, O_RDONLY);
  check(file, path);
  check(setns(file, CLONE_NEWNET), "setns");
  close(file);
  int tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
  check(tun, "/dev/net/tun");
  struct ifreq request = {.ifr_name = "wire", .ifr_flags = IFF_TUN | IFF_NO_PI};
  check(ioctl(tun, TUNSETIFF, &request), "TUNSETIFF");
  return tun;
}

/* Hand over what is due, and return when the next packet is. */
static int64_t deliver(struct way *way, int device) {
  while (way->first != way->next) {
    struct packet *packet = &way->packets[way->first % PACKETS];
    if (packet->due_ns > now_ns()) return packet->due_ns;
    if (write(device, packet->bytes, packet->length) < 0) { /* a device that is down loses packets */
    }
    way->first++;
  }
  return INT64_MAX;
}

static void accept_from(int device, struct way *way, int64_t delay_ns, double ns_per_byte) {
  for (int k = 0; k < AT_ONCE && way->next - way->first < PACKETS; k++) {
    struct packet *packet = &way->packets[way->next % PACKETS];
    packet->length = read(device, packet->bytes, MOST_BYTES);
    if (packet->length <= 0) return;
    int64_t now = now_ns();
    if (way->free_ns < now) way->free_ns = now;
    way->free_ns += (int64_t)((packet->length + FRAME_BYTES) * ns_per_byte);
    packet->due_ns = way->free_ns + delay_ns;
    way->next++;
  }
}

int main(int count, char **words) {
  if (count != 5) return 2;
  int64_t delay_ns = (int64_t)(atof(words[3]) * 1000);
  double ns_per_byte = 8000 / atof(words[4]);
  int devices[2] = {device(words[1]), device(words[2])};
  struct way into[2] = {0};
  for (int k = 0; k < 2; k++) into[k].packets = malloc(sizeof(struct packet) * PACKETS);
  struct sched_param priority = {.sched_priority = 50};
  sched_setscheduler(0, SCHED_FIFO, &priority);
  prctl(PR_SET_TIMERSLACK, 1);
  prctl(PR_SET_PDEATHSIG, 9);
  puts("up");
  fflush(stdout);
  for (;;) {
    int64_t next_ns = deliver(&into[0], devices[0]), other_ns = deliver(&into[1], devices[1]);
    if (other_ns < next_ns) next_ns = other_ns;
    struct pollfd polled[2];
    for (int k = 0; k < 2; k++) { /* a way that is full takes no more until some are handed over */
      struct way *to = &into[1 - k];
      polled[k] = (struct pollfd){devices[k], to->next - to->first < PACKETS ? POLLIN : 0, 0};
    }
    int64_t wait_ns = next_ns == INT64_MAX ? INT64_C(1000000000) : next_ns - now_ns();
    if (wait_ns < 0) wait_ns = 0;
    struct timespec wait = {wait_ns / 1000000000, wait_ns % 1000000000};
    if (ppoll(polled, 2, &wait, NULL) <= 0) continue;
    for (int k = 0; k < 2; k++)
      if (polled[k].revents & POLLIN) accept_from(devices[k], &into[1 - k], delay_ns, ns_per_byte);
  }
}
