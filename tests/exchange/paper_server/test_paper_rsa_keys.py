"""RSA keys sign requests, over REST and over the WebSocket API; a session wants Ed25519."""

from __future__ import annotations

import base64
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.exchange.paper_server.raw_client import form, raw_socket
from tests.exchange.paper_server.test_paper_ws_api import joined
from trio_grid.exchange.paper.server.authentication import ApiKey
from trio_grid.testing.paper import default_exchange, open_paper_exchange

KEY = "rsakey"


async def test_an_rsa_key_signs_requests_and_opens_no_session(autojump_clock: object) -> None:
    private = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def signed(text: str) -> str:
        return base64.b64encode(private.sign(text.encode(), padding.PKCS1v15(), SHA256())).decode()

    exchange = default_exchange(history_minutes=10)
    keys = [ApiKey(key=KEY, account=exchange.accounts[0], public_key_pem=pem)]
    async with open_paper_exchange(exchange, keys=keys) as handle, handle.http() as http:
        query = form(timestamp=handle.now_ms())
        headers = {"X-MBX-APIKEY": KEY}
        url = f"/fapi/v3/account?{query}&signature="
        assert (await http.get(url + quote(signed(query), safe=""), headers=headers)).status_code == 200
        other = await http.get(url + quote(signed(query + "0"), safe=""), headers=headers)
        assert (other.status_code, other.json()["code"]) == (400, -1022)
        params = {"apiKey": KEY, "timestamp": handle.now_ms()}
        params["signature"] = signed(joined(params))
        for path, method in (("/ws-fapi/v1", "account.status"), ("/ws-api/v3", "account.status")):
            async with raw_socket(handle, path) as socket:
                assert (await socket.request({"id": 1, "method": method, "params": params}))["status"] == 200
                refused = await socket.request({"id": 2, "method": "session.logon", "params": params})
                assert refused["error"] == {"code": -4056, "msg": "RSA API key is not supported."}
