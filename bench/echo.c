/* The limit on loopback: a bare recvmmsg/sendmmsg echo of UDP packets on 127.0.0.1, one thread.
 *
 * usage: echo PORT [OCTETS]
 * Each packet goes back as it came, but with the QR bit set, so that a load generator counts it
 * as a reply; with OCTETS, cut or padded to that size, as a nameserver's replies would be. No parsing,
 * no lookup: what a nameserver costs above this is its own work. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* <sys/socket.h> declares the mmsg calls under _GNU_SOURCE, which the build passes. */

enum { BATCH = 64, PACKET_OCTETS = 4096, DNS_HEADER_OCTETS = 12, SOCKET_BUFFER_OCTETS = 4 << 20 };

static unsigned char packets[BATCH][PACKET_OCTETS];
static struct sockaddr_in6 peers[BATCH];
static struct iovec vectors[BATCH];
static struct mmsghdr messages[BATCH];

static int open_socket(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int descriptor = socket(AF_INET, SOCK_DGRAM, 0);
    int octets = SOCKET_BUFFER_OCTETS;
    if (descriptor < 0 || setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &octets, sizeof octets) < 0 ||
        setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &octets, sizeof octets) < 0 ||
        bind(descriptor, (struct sockaddr *)&address, sizeof address) < 0) {
        perror("echo: socket");
        exit(1);
    }
    return descriptor;
}

/* Hands every slot of the batch its whole buffer again: the kernel shortens both lengths. */
static void reset_batch(void) {
    for (int i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){packets[i], PACKET_OCTETS};
        messages[i].msg_hdr = (struct msghdr){.msg_name = &peers[i], .msg_namelen = sizeof peers[i],
                                              .msg_iov = &vectors[i], .msg_iovlen = 1};
    }
}

int main(int count, char **words) {
    int port = count == 2 || count == 3 ? atoi(words[1]) : 0;
    int octets = count == 3 ? atoi(words[2]) : 0;
    if (port < 1 || port > 65535 || octets < 0 || octets > PACKET_OCTETS) {
        fprintf(stderr, "usage: echo PORT [OCTETS]\n");
        return 2;
    }
    int descriptor = open_socket(port);
    reset_batch();
    for (;;) {
        int received = recvmmsg(descriptor, messages, BATCH, MSG_WAITFORONE, NULL);
        if (received < 0) continue; /* an ICMP error of an earlier reply, or a signal */
        for (int i = 0; i < received; i++) {
            if (messages[i].msg_len >= DNS_HEADER_OCTETS) packets[i][2] |= 0x80;
            vectors[i].iov_len = octets ? (unsigned)octets : messages[i].msg_len;
        }
        for (int sent = 0; sent < received;) {
            int step = sendmmsg(descriptor, messages + sent, (unsigned)(received - sent), 0);
            sent += step > 0 ? step : 1; /* a packet that cannot be sent is skipped */
        }
        for (int i = 0; i < received; i++) {
            vectors[i].iov_len = PACKET_OCTETS;
            messages[i].msg_hdr.msg_namelen = sizeof peers[i];
        }
    }
}
