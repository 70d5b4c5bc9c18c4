// SPDX-License-Identifier: LGPL-2.1-or-later
/* Servers as they come, under load from outside of the tree: they are dumped and restored, and their clients see nothing of it but
 * that an answer takes longer. */
#include "harness/load.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define PORT 8080
static const char served[] = WORK "/served"; /* grows with every answer */

static int connect_to(int type)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = (int)CHECK_OK(socket(AF_INET, type | SOCK_CLOEXEC, 0));
	for (long long begin = clock_ms(); connect(fd, (void *)&to, sizeof to) < 0; nap_ms(10))
		CHECK(errno == ECONNREFUSED && clock_ms() - begin < WAIT_MS * test_patience());
	return fd;
}

/* --- HTTP: wrk counts every connection that is lost, refused, or gives a wrong answer, and names them when it ends --- */

static void serve_http(struct target *t, void (*away)(struct target *), const char *header)
{
	struct load wrk;
	close(connect_to(SOCK_STREAM));
	load_start(&wrk, "/usr/bin/wrk", "-t1", "-c8", "-d600s", "-H", header, "--timeout", "300s", "http://127.0.0.1:8080/");
	wrk.progress = load_file_size;
	wrk.of = served;
	load_across(&wrk, t, 4000, away);
	_cleanup_free_ char *said = load_stop(&wrk, SIGINT);
	CHECK_CONTAINS(said, "requests in ");
	if (strstr(said, "Socket errors") || strstr(said, "Non-2xx"))
		FAIL("clients have noticed: %s", said);
}

/* A master and two workers of another user. */
static void start_nginx(struct target *t)
{
	static const char dir[] = WORK "/nginx/", conf[] = WORK "/nginx/conf", page[] = WORK "/nginx/index.html";
	/* a connection that says nothing stays */
	static const char text[] = "daemon off; worker_processes 2; pid pid; error_log log; events { worker_connections 64; }\n"
				   "http { access_log " WORK "/served; keepalive_requests 1000000000; sendfile on;\n"
				   "client_header_timeout 1h; keepalive_timeout 1h; send_timeout 1h;\n"
				   "server { listen 127.0.0.1:8080; root " WORK "/nginx; } }\n";
	CHECK_OK(mkdir(dir, 0755));
	CHECK_OK(chmod(WORK, 0755));
	write_text(conf, text);
	write_text(page, text);
	CHECK_OK(chmod(page, 0644));
	target_spawn(t, "/usr/sbin/nginx", "-p", dir, "-c", conf, "-e", "log");
}

TEST(nginx_wrk, .root = true, .net = true, .seconds = 60)
{
	struct target t;
	start_nginx(&t);
	serve_http(&t, NULL, "Accept: */*");
}

/* A connection for each answer: there is nearly always one that has not been accepted yet, and a dump waits for a moment without. One
 * connection that is there all the time sees to it that new ones wait for the restore. */
static void patiently(struct target *t)
{
	char pid[16];
	int status;
	snprintf(pid, sizeof pid, "%d", t->pid);
	while ((status = ckpt(NULL, "dump", pid, t->image)))
		CHECK_EQ(status, 7);
	target_gone(t->pid);
	target_restore(t, 0);
}

TEST(nginx_wrk_new_connections, .root = true, .net = true, .seconds = 60)
{
	struct target t;
	start_nginx(&t);
	int stays = connect_to(SOCK_STREAM);
	serve_http(&t, patiently, "Connection: close");
	close(stays);
}

/* What people have in their scripts for criu(8), which finds ckpt by that name. */
static void by_script_for_criu(struct target *t)
{
	static const char bin[] = WORK "/bin", link[] = WORK "/bin/criu", script[] = WORK "/script";
	char pid[16], path[96];
	CHECK(mkdir(bin, 0755) == 0 || errno == EEXIST);
	CHECK(symlink(ckpt_path(), link) == 0 || errno == EEXIST);
	write_text(script, "set -e\n"
			   "PATH=" WORK "/bin:$PATH\n"
			   "mkdir -p $2\n"
			   "criu dump -t $1 -D $2 --tcp-established --shell-job -v4 -o dump.log\n"
			   "if grep -q '^State:.[^ZX]' /proc/$1/status 2>/dev/null; then exit 1; fi\n"
			   "criu restore -D $2 --tcp-established --shell-job -v4 -o restore.log -d --pidfile $2/pid\n"
			   "test $(cat $2/pid) = $1 && kill -0 $(cat $2/pid)\n"
			   "grep -q 'Dumping finished successfully' $2/dump.log\n"
			   "grep -q 'Restore finished successfully' $2/restore.log\n");
	snprintf(pid, sizeof pid, "%d", t->pid);
	snprintf(path, sizeof path, "%s.d", t->image);
	CHECK_EQ(run_program(NULL, "/bin/sh", (const char *const[]){ "sh", script, pid, path, NULL }), 0);
}

TEST(nginx_wrk_by_criu_script, .root = true, .net = true, .seconds = 60)
{
	struct target t;
	start_nginx(&t);
	serve_http(&t, by_script_for_criu, "Accept: */*");
}

TEST(asyncio_wrk, .root = true, .net = true, .seconds = 60)
{
	static const char script[] = "import asyncio\n"
				     "async def serve(reader, writer):\n"
				     "    while await reader.readuntil(b'\\r\\n\\r\\n'):\n"
				     "        writer.write(b'HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\n\\r\\nhello')\n"
				     "        await writer.drain()\n"
				     "        served.write(b'one more answer\\n')\n"
				     "async def main():\n"
				     "    await (await asyncio.start_server(serve, '127.0.0.1', 8080)).serve_forever()\n"
				     "served = open('" WORK "/served', 'ab', 0)\n"
				     "asyncio.run(main())\n";
	struct target t;
	target_spawn(&t, "/usr/bin/python3", "-c", script);
	serve_http(&t, NULL, "Accept: */*");
}

/* It reads a file for each answer and writes to another. */
static void serve_by_node(const char *variable)
{
	static const char script[] = "const fs = require('fs'), served = fs.openSync('" WORK "/served', 'a');\n"
				     "require('http').createServer((request, response) => {\n"
				     "  fs.readFile('/etc/hostname', (error, text) => {\n"
				     "    response.statusCode = error ? 500 : 200;\n"
				     "    fs.write(served, 'one more answer\\n', () => response.end('hello'));\n"
				     "  });\n"
				     "}).listen(8080, '127.0.0.1');\n";
	struct target t;
	need_program("/usr/bin/node");
	target_spawn(&t, "/usr/bin/env", variable, "/usr/bin/node", "-e", script);
	serve_http(&t, NULL, "Accept: */*");
}
TEST(node_wrk, .root = true, .net = true, .seconds = 60) { serve_by_node("LC_ALL=C"); }
/* Since node 20 a thread of the kernel submits what it asks of files. */
TEST(node_wrk_uring, .root = true, .net = true, .seconds = 60) { serve_by_node("UV_USE_IO_URING=1"); }

/* --- memcached: one client over TCP, and one over UDP, whose datagrams may be lost --- */

struct client {
	long long answers;
	int tcp, udp;
};

static void ask_tcp(const struct client *c, const char *question, const char *answer)
{
	char got[200];
	size_t n = 0, want = strlen(answer);
	CHECK_EQ(send(c->tcp, question, strlen(question), MSG_NOSIGNAL), strlen(question));
	while (n < want) {
		ssize_t more = CHECK_OK(recv(c->tcp, got + n, sizeof got - 1 - n, 0));
		CHECK(more > 0);
		n += (size_t)more;
	}
	got[n] = 0;
	CHECK_STR(got, answer);
}

/* The header of a datagram: the number of the request, of the datagram, of all datagrams, and nothing. The question is asked again
 * when no answer comes, or the kernel says that nobody is there. */
static void ask_udp(const struct client *c, const char *question, const char *answer)
{
	static u16 number;
	char out[200] = { 0 }, in[200];
	struct pollfd ready = { .fd = c->udp, .events = POLLIN };
	u16 head[4] = { htons(++number), 0, htons(1), 0 };
	memcpy(out, head, sizeof head);
	size_t len = sizeof head + (size_t)snprintf(out + sizeof head, sizeof out - sizeof head, "%s", question);
	for (bool answered = false; !answered;) {
		CHECK(send(c->udp, out, len, 0) == (ssize_t)len || errno == ECONNREFUSED);
		while (!answered && poll(&ready, 1, 200) == 1) {
			ssize_t n = recv(c->udp, in, sizeof in - 1, 0);
			CHECK(n >= (ssize_t)sizeof head || (n < 0 && errno == ECONNREFUSED));
			if (n < 0)
				break;
			in[n] = 0;
			answered = !memcmp(in, head, sizeof head[0]);
		}
	}
	CHECK_STR(in + sizeof head, answer);
}

static void talk(void *arg)
{
	struct client *c = arg;
	char question[100], answer[100];
	snprintf(question, sizeof question, "set udp 0 0 10\r\n%010lld\r\n", c->answers);
	ask_udp(c, question, "STORED\r\n");
	snprintf(answer, sizeof answer, "%lld\r\n", c->answers + 1);
	ask_tcp(c, "incr tcp 1\r\n", answer);
	snprintf(answer, sizeof answer, "VALUE udp 0 10\r\n%010lld\r\nEND\r\n", c->answers);
	ask_udp(c, "get udp\r\n", answer);
	ask_tcp(c, "get udp\r\n", answer);
	c->answers++;
}

TEST(memcached_tcp_udp, .root = true, .net = true, .seconds = 60)
{
	struct target t;
	struct load load;
	struct client *c = mmap(NULL, sizeof *c, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(c != MAP_FAILED);
	target_spawn(&t, "/usr/bin/memcached", "-u", "nobody", "-l", "127.0.0.1", "-p", "8080", "-U", "8080");
	c->tcp = connect_to(SOCK_STREAM);
	c->udp = connect_to(SOCK_DGRAM);
	ask_tcp(c, "set tcp 0 0 1\r\n0\r\n", "STORED\r\n");
	load_fork(&load, talk, c);
	load.progress = load_number;
	load.of = &c->answers;
	load_across(&load, &t, 100, NULL);
	free(load_stop(&load, SIGKILL));
}

/* --- jobs: a build in mid-compile, whose compilers and their parents go on --- */

#define BUILT WORK "/build/sum"
/* Each part has many functions, and takes the compiler some time; the program says what expected_sum() does. It is not linked before
 * there has been a last dump, however late that comes. */
static const char makefile[] =
	"sum: 1.o 2.o 3.o 4.o main.c; until test -e dumped; do sleep 0.01; done; gcc -pipe -o $@ $^\n"
	"%.o: %.c; gcc -O2 -pipe -c -o $@ $<\n"
	"%.c:; for i in $$(seq 60); do echo \"unsigned f$*_$$i(unsigned a) { for (unsigned i = 0; i < 9; i++)"
	" a = a * $$i ^ a >> 7 ^ i; return a; }\"; done >$@;"
	" echo \"unsigned f$*(unsigned a) { return f$*_1(a) + f$*_30(a) + f$*_60(a); }\" >>$@\n"
	"main.c:; echo '#include <stdio.h>' >$@; for i in 1 2 3 4; do echo \"unsigned f$$i(unsigned);\"; done >>$@;"
	" echo 'int main(void) { printf(\"%u\", f1(1) + f2(2) + f3(3) + f4(4)); }' >>$@\n";

static unsigned expected_sum(void)
{
	static const unsigned factors[] = { 1, 30, 60 };
	unsigned sum = 0;
	for (unsigned part = 1; part <= 4; part++)
		for (size_t k = 0; k < ARRAY_SIZE(factors); k++) {
			unsigned a = part;
			for (unsigned i = 0; i < 9; i++)
				a = a * factors[k] ^ a >> 7 ^ i;
			sum += a;
		}
	return sum;
}

/* It takes as long as it takes; what it has said is shown when there is no result. */
static void await_end(const struct target *t)
{
	char path[96];
	snprintf(path, sizeof path, "%s/output", t->dir);
	while (target_alive(t->pid))
		nap_ms(5);
	target_gone(t->pid);
	_cleanup_free_ char *said = read_text(path);
	if (access(BUILT, X_OK) < 0)
		FAIL("the build has failed: %s", said ?: "");
}

TEST(make_gcc, .root = true, .seconds = 60)
{
	static const char dir[] = WORK "/build", rules[] = WORK "/build/Makefile",
			  dumped[] = WORK "/build/dumped", *const parts[] = { WORK "/build/1.o", WORK "/build/3.o" };
	struct target t;
	static const char temporary[] = "TMPDIR=" WORK;
	char want[16];
	_cleanup_text_ struct text sum = { 0 };
	need_program("/usr/bin/gcc");
	CHECK_OK(mkdir(dir, 0755));
	write_text(rules, makefile);
	target_spawn(&t, "/usr/bin/env", temporary, "/usr/bin/make", "-C", dir, "-j2");
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		while (access(parts[i], F_OK) < 0 && target_alive(t.pid))
			nap_ms(1);
		CHECK(target_alive(t.pid));
		check_no_blocker(t.pid);
		snprintf(t.image, sizeof t.image, WORK "/image.%zu", i);
		target_dump(&t, false);
		target_restore(&t, 0);
	}
	write_text(dumped, "");
	await_end(&t);
	CHECK_EQ(run_program(&sum, BUILT, (const char *const[]){ BUILT, NULL }), 0);
	snprintf(want, sizeof want, "%u", expected_sum());
	CHECK_STR(sum.data, want);
}
