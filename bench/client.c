/* Asks a nameserver on 127.0.0.1 from a file of messages (two octets of length before each) and times replies.
 *
 * usage: client PORT FILE SECONDS WINDOW RATE
 * RATE 0: as fast as replies come, at most WINDOW unanswered; cheaper per query than any server, so that
 * the server is what is short. RATE > 0: that many queries per second, evenly, whatever comes back.
 * Latency is from just before the send to the kernel's own time of the reply, so that a client that is
 * not running at that moment does not count. Prints one line of JSON; latencies in microseconds. */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { BATCH = 32, PACKET_OCTETS = 1500, IDENTIFIERS = 65536, SOCKET_BUFFER_OCTETS = 4 << 20, SILENCE_MS = 200 };
enum { CONTROL_OCTETS = 64, PACED_BATCH = 8 };

static unsigned char *queries;                /* the file */
static size_t *starts, query_count;           /* where each message begins in it */
static int64_t sent_ns[IDENTIFIERS];          /* 0: not waited for */
static uint32_t *latencies_ns;                /* one per answered query */
static size_t latency_room, sent, answered, noerror;
static unsigned char out[BATCH][PACKET_OCTETS], in[BATCH][PACKET_OCTETS], control[BATCH][CONTROL_OCTETS];
static struct iovec out_vectors[BATCH], in_vectors[BATCH];
static struct mmsghdr out_messages[BATCH], in_messages[BATCH];

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now); /* the clock of SO_TIMESTAMPNS */
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static size_t octets_at(size_t index) {
    return (size_t)queries[starts[index]] << 8 | queries[starts[index] + 1];
}

static void read_queries(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) fail(path);
    size_t octets = (size_t)ftell(file);
    rewind(file);
    queries = malloc(octets + 1);
    starts = malloc((octets / 14 + 1) * sizeof *starts); /* a message has at least a header */
    if (!queries || !starts || fread(queries, 1, octets, file) != octets) fail(path);
    fclose(file);
    for (size_t at = 0; at + 14 <= octets; at += 2 + octets_at(query_count++)) starts[query_count] = at;
    while (query_count && octets_at(query_count - 1) > PACKET_OCTETS) query_count--;
    if (!query_count) fail("no messages");
}

static int open_socket(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int descriptor = socket(AF_INET, SOCK_DGRAM, 0), octets = SOCKET_BUFFER_OCTETS, on = 1;
    struct timeval silence = {.tv_usec = SILENCE_MS * 1000};
    if (descriptor < 0 || setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &octets, sizeof octets) ||
        setsockopt(descriptor, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) ||
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof silence) ||
        connect(descriptor, (struct sockaddr *)&address, sizeof address))
        fail("socket");
    for (int i = 0; i < BATCH; i++) {
        out_vectors[i].iov_base = out[i];
        out_messages[i].msg_hdr = (struct msghdr){.msg_iov = &out_vectors[i], .msg_iovlen = 1};
        in_vectors[i] = (struct iovec){in[i], PACKET_OCTETS};
        in_messages[i].msg_hdr = (struct msghdr){.msg_iov = &in_vectors[i], .msg_iovlen = 1};
        in_messages[i].msg_hdr.msg_control = control[i];
    }
    return descriptor;
}

static void send_some(int descriptor, size_t count) {
    int64_t now = now_ns();
    for (size_t i = 0; i < count; i++) {
        size_t index = (sent + i) % query_count, identifier = (sent + i) % IDENTIFIERS;
        out_vectors[i].iov_len = octets_at(index);
        memcpy(out[i], queries + starts[index] + 2, out_vectors[i].iov_len);
        out[i][0] = (unsigned char)(identifier >> 8);
        out[i][1] = (unsigned char)identifier;
        sent_ns[identifier] = now;
    }
    int done = sendmmsg(descriptor, out_messages, (unsigned)count, 0);
    if (done > 0) sent += (size_t)done;
}

static int64_t arrival_ns(struct msghdr *header) {
    struct cmsghdr *item = CMSG_FIRSTHDR(header);
    if (!item || item->cmsg_type != SO_TIMESTAMPNS) return now_ns();
    struct timespec time;
    memcpy(&time, CMSG_DATA(item), sizeof time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* Takes what is there; with `wait`, sleeps for the first reply. Returns replies that were waited for. */
static size_t receive_some(int descriptor, int wait) {
    size_t matched = 0;
    for (int i = 0; i < BATCH; i++) in_messages[i].msg_hdr.msg_controllen = CONTROL_OCTETS;
    int count = recvmmsg(descriptor, in_messages, BATCH, wait ? MSG_WAITFORONE : MSG_DONTWAIT, NULL);
    for (int i = 0; i < count; i++) {
        size_t identifier = (size_t)in[i][0] << 8 | in[i][1];
        if (in_messages[i].msg_len < 12 || !sent_ns[identifier]) continue;
        int64_t latency = arrival_ns(&in_messages[i].msg_hdr) - sent_ns[identifier];
        sent_ns[identifier] = 0;
        if (answered == latency_room) {
            latency_room = latency_room ? 2 * latency_room : 1 << 20;
            latencies_ns = realloc(latencies_ns, latency_room * sizeof *latencies_ns);
            if (!latencies_ns) fail("memory");
        }
        latencies_ns[answered++] = (uint32_t)(latency < 0 ? 0 : latency > UINT32_MAX ? UINT32_MAX : latency);
        noerror += (in[i][3] & 15) == 0;
        matched++;
    }
    return matched;
}

static void run_closed(int descriptor, int64_t end, size_t window) {
    size_t unanswered = 0;
    while (now_ns() < end) {
        size_t room = window - unanswered;
        if (room >= BATCH || (room && !unanswered)) {
            size_t before = sent;
            send_some(descriptor, room < BATCH ? room : BATCH);
            unanswered += sent - before;
            continue;
        }
        size_t matched = receive_some(descriptor, 1);
        unanswered = matched ? unanswered - (matched < unanswered ? matched : unanswered) : 0; /* silence: lost */
    }
}

/* A client that was held up does not catch up: the burst would be its own doing. */
static void run_paced(int descriptor, int64_t end, double rate) {
    double gap_ns = 1e9 / rate;
    int64_t now = now_ns();
    for (double due = (double)now; now < end; now = now_ns()) {
        size_t count = (double)now < due ? 0 : (size_t)(((double)now - due) / gap_ns) + 1;
        if (count > PACED_BATCH) due = (double)now - PACED_BATCH * gap_ns, count = PACED_BATCH;
        if (count) send_some(descriptor, count);
        due += (double)count * gap_ns;
        receive_some(descriptor, 0);
    }
}

static int by_size(const void *left, const void *right) {
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static double quantile_us(double share) {
    return answered ? latencies_ns[(size_t)(share * (double)(answered - 1))] / 1e3 : 0.0;
}

int main(int count, char **words) {
    if (count != 6) {
        fprintf(stderr, "usage: client PORT FILE SECONDS WINDOW RATE\n");
        return 2;
    }
    double seconds = atof(words[3]), rate = atof(words[5]);
    size_t window = (size_t)atol(words[4]);
    read_queries(words[2]);
    int descriptor = open_socket(atoi(words[1]));
    int64_t start = now_ns(), end = start + (int64_t)(seconds * 1e9);
    if (rate > 0) run_paced(descriptor, end, rate);
    else run_closed(descriptor, end, window ? window : 1);
    double ran_s = (double)(now_ns() - start) / 1e9;
    while (answered < sent && receive_some(descriptor, 1)) {} /* the last replies, until a silence */
    qsort(latencies_ns, answered, sizeof *latencies_ns, by_size);
    printf("{\"seconds\": %.6f, \"sent\": %zu, \"answered\": %zu, \"noerror\": %zu, \"p50_us\": %.2f, \"p99_us\": %.2f, "
           "\"p999_us\": %.2f, \"max_us\": %.2f}\n",
           ran_s, sent, answered, noerror, quantile_us(0.5), quantile_us(0.99), quantile_us(0.999), quantile_us(1.0));
    return 0;
}
