"""Prompts, prices and short cuts for the tests of routerlab.serving."""

import asyncio

from routerlab.serving import AsyncRoutedClient

EASY = ["How do I poach an egg?", "How do I boil rice?", "How do I fry an egg?", "How do I steam rice?"]
HARD = ["Fix my SQL query", "Fix my Python script", "Repair this SQL statement", "Fix this Python function"]
MODELS = ("small", "large")
PRICES = {"small": (1.0, 2.0), "large": (10.0, 30.0)}


def run_async(make, server, scenario, **options):
    """Run ``scenario(client)`` with an asynchronous client of the server's."""

    async def main():
        async with server.async_client() as local:
            return await scenario(make(kind=AsyncRoutedClient, local=local, **options))

    return asyncio.run(main())


def ask(client, prompt, **options):
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": prompt}]
    return client.chat.completions.create(**{"model": "routerlab", "messages": messages} | options)
