#!/usr/bin/env python3
"""As much of curl as the documentation uses, for machines that have none.

Its options, their short forms and the ways to write them; nothing that it prints besides answers.
"""

import argparse
import http.client
import sys
from urllib.parse import urlsplit


def main():
    parser = argparse.ArgumentParser(prog="curl")
    parser.add_argument("-X", "--request")
    parser.add_argument("-H", "--header", action="append", default=[])
    parser.add_argument("-d", "--data")
    parser.add_argument("-i", "--include", action="store_true")
    parser.add_argument("url")
    said = parser.parse_args()
    url = urlsplit(said.url)
    headers = {"Accept": "*/*"}
    if said.data is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    for header in said.header:
        name, _, value = header.partition(":")
        headers[name.strip()] = value.strip()
    connection = http.client.HTTPConnection(url.netloc, timeout=30)
    address = f"{url.path}?{url.query}" if url.query else url.path
    method = said.request or ("GET" if said.data is None else "POST")
    connection.request(method, address, said.data, headers)
    response = connection.getresponse()
    if said.include:
        print(f"HTTP/1.1 {response.status} {response.reason}")
        for name, value in response.getheaders():
            print(f"{name}: {value}")
        print(flush=True)
    sys.stdout.buffer.write(response.read())


if __name__ == "__main__":
    main()
