// The clients that no package has, as source: each gets a URL and prints the answer's body. See client-programs.ts.

/** Built without cgo: it resolves and connects by system calls of its own, and no library can be put in front of it. */
export const GO_CLIENT = `package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	answer, err := http.Get(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer answer.Body.Close()
	io.Copy(os.Stdout, answer.Body)
}
`;

export const JAVA_CLASS = 'KubeInterceptClient';
export const JAVA_CLIENT = `
import java.net.URL;

public class ${JAVA_CLASS} {
  public static void main(String[] arguments) throws Exception {
    try (var body = new URL(arguments[0]).openStream()) {
      body.transferTo(System.out);
    }
    System.out.flush();
  }
}
`;

/** Against musl, statically: another resolver than glibc's, which asks every nameserver at once and wants A and AAAA. */
export const C_CLIENT = `
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int count, char **arguments) {
  char host[256], path[256] = "", port[8] = "80", request[1024], answer[4096];
  if (count < 2 || sscanf(arguments[1], "http://%255[^:/]:%7[0-9]/%255s", host, port, path) < 2)
    if (count < 2 || sscanf(arguments[1], "http://%255[^:/]/%255s", host, path) < 1) return 2;
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
  int failure = getaddrinfo(host, port, &hints, &found);
  if (failure) return fprintf(stderr, "%s: %s\\n", host, gai_strerror(failure)), 1;
  int connection = socket(found->ai_family, SOCK_STREAM, 0);
  if (connect(connection, found->ai_addr, found->ai_addrlen)) return perror(host), 1;
  int length = snprintf(request, sizeof request, "GET /%s HTTP/1.0\\r\\nHost: %s\\r\\n\\r\\n", path, host);
  if (write(connection, request, length) != length) return perror("write"), 1;
  size_t total = 0;
  for (ssize_t got; total < sizeof answer - 1 && (got = read(connection, answer + total, sizeof answer - 1 - total)) > 0;) total += got;
  answer[total] = 0;
  char *body = strstr(answer, "\\r\\n\\r\\n");
  if (!body) return fprintf(stderr, "no answer\\n"), 1;
  fputs(body + 4, stdout);
  return 0;
}
`;

export const PYTHON_CLIENT =
  'import sys, urllib.request\nsys.stdout.write(urllib.request.urlopen(sys.argv[1], timeout=30).read().decode())';
export const NODE_CLIENT = `fetch(process.argv[1]).then((answer) => answer.text()).then((text) => process.stdout.write(text))
.catch((error) => { console.error(error.cause ?? error); process.exit(1); })`;
