"""TLS in front of a server: a proxy of the tests' own, with a certificate that nobody signed.

async with proxy(server.port, folder) as port:
    ...  # https://127.0.0.1:{port} is http://127.0.0.1:{server.port}
"""

import asyncio
import ssl
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


@asynccontextmanager
async def proxy(port, folder):
    """Ends TLS before whoever listens on this port; gives the port to connect to."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(folder))

    async def serve(reader, writer):
        try:
            their_reader, their_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()
        else:
            await asyncio.gather(pump(reader, their_writer), pump(their_reader, writer))

    serving = set()

    async def accept(reader, writer):
        task = asyncio.current_task()
        serving.add(task)
        try:
            await serve(reader, writer)
        finally:
            serving.discard(task)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


async def pump(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass  # One side is gone; so goes the other.
    finally:
        writer.close()


def certificate(folder):
    """A file with a key and a certificate for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, *private)
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path
