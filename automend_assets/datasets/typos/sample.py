"""The bundled sample: interactions as the application's table has them, drawn from a seed.

    python -m automend_assets.datasets.typos.sample --rows 1500 --seed 42 --out data/samples/typos/interactions.csv

The names are a list of the project's own of makes and models that are sold; the typos are the noise model's. Some
rows are what a table of interactions also has: a text corrected to itself, empty and over-long texts, a domain that
does not exist, control characters, one typo with two corrections, a row that comes twice.

What belongs here: the list and the rows. What does not: the noise model (`noise.py`) and what is refused (the
contract).
"""

from __future__ import annotations

import argparse
import csv
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from automend_assets.datasets.typos.noise import noisy_pairs
from automend_assets.datasets.typos.texts import BRAND, MODEL, Entry, Pair

COLUMNS = ("id", "typo", "corrected", "domain", "created_at")

_FIRST_MOMENT = datetime(2026, 1, 5, 8, tzinfo=UTC)
_BAD_EVERY = 50

# Make, then its models.
_NAMES = """
Audi: A1, A3, A4, A6, Q2, Q3, Q5, Q7, TT, e-tron
BMW: X1, X3, X5, X6, Z4, 318i, 320i, 330e, 520i, i4
BYD: Atto 3, Dolphin, Seal, Han, Tang, Song Plus
Chery: Tiggo 4, Tiggo 7 Pro, Tiggo 8 Pro, Omoda 5, Arrizo 5
Chevrolet: Aveo, Captiva, Colorado, Cruze, Malibu, Silverado, Trailblazer
Citroën: Berlingo, C3, C4 Cactus, C5 Aircross, Picasso
Daihatsu: Charade, Mira, Sirion, Terios, Rocky
Dacia: Duster, Logan, Sandero, Jogger, Spring
Fiat: 500, 500X, Panda, Punto, Tipo, Doblo
Ford: EcoSport, Everest, Fiesta, Focus, Kuga, Mondeo, Mustang, Ranger, Transit
Great Wall: Cannon, Haval H6, Haval Jolion, Ora Good Cat
Honda: Accord, BR-V, City, Civic, CR-V, HR-V, Jazz, Odyssey, WR-V
Hyundai: Elantra, Ioniq 5, i10, i20, i30, Kona, Santa Fe, Sonata, Stargazer, Tucson
Isuzu: D-Max, MU-X, Trooper
Jaguar: E-Pace, F-Pace, F-Type, I-Pace, XE, XF
Jeep: Cherokee, Compass, Gladiator, Renegade, Wrangler
Kia: Carnival, Cerato, EV6, Niro, Picanto, Rio, Seltos, Sorento, Sportage, Stonic
Land Rover: Defender, Discovery, Discovery Sport, Evoque, Freelander, Range Rover, Velar
Lexus: ES 250, IS 300, LX 570, NX 200t, RX 350, UX 200
Mazda: BT-50, CX-3, CX-30, CX-5, CX-8, CX-9, MX-5
Mercedes-Benz: A 200, C 180, C 200, C 300, E 250, E 300, GLA 200, GLB 250, GLC 300, S 450
MG: HS, MG4, MG5, Marvel R, ZS
Mini: Clubman, Cooper S, Countryman, Paceman
Mitsubishi: ASX, Attrage, Eclipse Cross, Lancer, Mirage, Outlander, Pajero, Triton, Xpander
Nissan: Almera, Grand Livina, Juke, Leaf, Navara, Qashqai, Serena, Sylphy, X-Trail
Opel: Astra, Corsa, Grandland, Insignia, Mokka, Zafira
Perodua: Alza, Aruz, Ativa, Axia, Bezza, Kancil, Kelisa, Kembara, Kenari, Myvi, Viva
Peugeot: 2008, 208, 3008, 308, 408, 5008, 508, Partner
Porsche: 911, Boxster, Cayenne, Cayman, Macan, Panamera, Taycan
Proton: Exora, Gen-2, Inspira, Iriz, Perdana, Persona, Preve, S70, Saga, Satria Neo, Waja, Wira, X50, X70, X90
Renault: Captur, Clio, Fluence, Kadjar, Koleos, Laguna, Megane, Scenic, Twingo
Seat: Arona, Ateca, Ibiza, Leon, Tarraco
Skoda: Fabia, Kamiq, Karoq, Kodiaq, Octavia, Superb
Subaru: BRZ, Crosstrek, Forester, Impreza, Legacy, Levorg, Outback, WRX, XV
Suzuki: Baleno, Ciaz, Ertiga, Ignis, Jimny, Swift, SX4, Vitara
Tesla: Cybertruck, Model 3, Model S, Model X, Model Y
Toyota: Alphard, Avanza, Camry, Corolla, Corolla Cross, Fortuner, Hiace, Hilux, Innova, Prius, RAV4, Rush, Vios, Yaris
Volkswagen: Arteon, Beetle, Golf, Jetta, Passat, Polo, Scirocco, Tiguan, Touareg, Vento
Volvo: C40, EX30, S60, S90, V40, V60, XC40, XC60, XC90
"""


def entries() -> list[Entry]:
    """Every make and model of the list."""
    found = []
    for line in _NAMES.strip().splitlines():
        make, models = line.split(": ")
        found.append(Entry(make, BRAND))
        found += [Entry(model, MODEL) for model in models.split(", ")]
    return found


def interactions(rows: int, seed: int) -> Iterator[tuple[int, str, str, str, str]]:
    """Rows of the table, ids from 1 in order of time; one in fifty is one that validation refuses or repeats one."""
    rng = random.Random(seed)  # noqa: S311
    known = entries()
    pairs = noisy_pairs(known, -(-rows // len(known)) + 1, seed)
    rng.shuffle(pairs)
    at = _FIRST_MOMENT
    for number in range(1, rows + 1):
        pair = (
            _bad(pairs[number - 2], number // _BAD_EVERY) if number % _BAD_EVERY == 0 else pairs[number - 1]
        )
        at += timedelta(seconds=rng.randrange(30, 7200))
        yield number, *pair, at.isoformat()


def _bad(pair: Pair, number: int) -> Pair:
    kinds = (
        Pair(pair.corrected, pair.corrected, pair.domain),
        Pair("", pair.corrected, pair.domain),
        Pair(pair.typo * 60, pair.corrected, pair.domain),
        Pair(pair.typo, pair.corrected, "colour"),
        Pair(f"{pair.typo}\x07", pair.corrected, pair.domain),
        Pair(pair.typo, "Roadster", pair.domain),
        pair,
    )
    return kinds[number % len(kinds)]


def main() -> None:
    """Write the sample."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with arguments.out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(interactions(arguments.rows, arguments.seed))


if __name__ == "__main__":
    main()
