"""Word lists that the generated environments draw from."""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


WORDS: tuple[str, ...] = _words(
    """
    acorn amber anchor apron arrow attic autumn badge bakery barley basin beacon bellows birch blanket
    bottle bramble bridge bronze bucket button cabin candle canvas carpet cedar chalk cherry chimney
    cinder clover cobalt compass copper cottage cradle cricket crystal curtain daisy dapple drizzle
    ember engine fable falcon feather fennel fiddle flannel flint forest fountain gallery garden ginger
    glacier granite gravel hammer harbour harvest hazel hollow honey horizon indigo island ivory jacket
    jasmine juniper kettle ladder lantern lavender ledger lemon linen lobby maple marble meadow mirror
    mosaic nectar needle nickel nutmeg oatmeal olive orchard paddle parcel pebble pepper pewter pillow
    plaster pocket prairie quarry quartz quill rafter raisin ribbon river rocket saddle saffron salmon
    sandal shelter signal silver sparrow spruce stable summit tailor teapot thicket thimble thunder
    timber tunnel turnip umbrella valley vanilla velvet violet walnut weaver willow window winter zephyr
    """
)

NAMES: tuple[str, ...] = _words(
    """
    Ada Amara Anton Beatriz Bruno Camille Chidi Dalia Deniz Elif Emil Farah Felix Greta Hana Hugo Imani
    Ines Ivo Jonas Kaito Kira Lale Leon Lucia Malik Marta Mei Milan Nadia Nils Noor Olga Omar Paula
    Petra Quentin Rania Rosa Samir Selma Tariq Tessa Uma Viktor Wanda Yara Yusuf Zofia
    """
)

PLACES: tuple[str, ...] = _words(
    """
    Accra Antwerp Arequipa Bergen Bologna Brisbane Cusco Dakar Davao Denver Dublin Galway Gdansk Ghent
    Hamburg Hanoi Izmir Jaipur Kampala Krakow Kyoto Lagos Leeds Lima Lisbon Lyon Malaga Medellin Nairobi
    Nantes Osaka Oslo Oulu Porto Quito Riga Seville Tampere Tbilisi Turin Utrecht Valencia Vilnius Zagreb
    """
)
